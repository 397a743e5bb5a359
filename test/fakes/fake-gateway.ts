import type { CallUuid } from "../../src/base/ids.ts";
import type { Delivery, PushGateway, PushRequest } from "../../src/push/types.ts";

/** A gateway that keeps what it is given and answers as a test says. */
export class FakeGateway implements PushGateway {
  readonly pushes: PushRequest[] = [];
  readonly abandoned: CallUuid[] = [];
  deliver: (request: PushRequest) => Delivery | Promise<Delivery> = () => ({ kind: "accepted" });

  async push(request: PushRequest): Promise<Delivery> {
    this.pushes.push(request);
    return this.deliver(request);
  }

  abandon(call: CallUuid): void {
    this.abandoned.push(call);
  }

  async close(): Promise<void> {}
}
