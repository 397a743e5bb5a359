declare const brand: unique symbol;
/** A branded primitive: ids of different kinds cannot be mixed up. */
export type Id<Name extends string, Base extends string | number> = Base & { readonly [brand]: Name };
