import type { Hop } from "./hop.ts";

/** Which transactions use a hop, so that the failure of one of thousands of tunnels costs only its own. */
export class HopIndex<Item extends { hop: Hop }> {
  readonly #items = new Map<Hop, Set<Item>>();

  add(item: Item): void {
    const items = this.#items.get(item.hop);
    if (items === undefined) this.#items.set(item.hop, new Set([item]));
    else items.add(item);
  }

  remove(item: Item): void {
    const items = this.#items.get(item.hop);
    items?.delete(item);
    if (items?.size === 0) this.#items.delete(item.hop);
  }

  /** Gives the item another hop. */
  move(item: Item, hop: Hop): void {
    this.remove(item);
    item.hop = hop;
    this.add(item);
  }

  on(hop: Hop): Iterable<Item> {
    return this.#items.get(hop) ?? [];
  }
}
