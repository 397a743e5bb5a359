import type { TransactionUser } from "../sip/transaction/transactions.ts";
import { Core } from "./core.ts";
import { DialogLife } from "./dialog-life.ts";
import { InboundCalls } from "./inbound-calls.ts";
import { LostPhones } from "./lost-phones.ts";
import { Messages } from "./messages.ts";
import { Mwi } from "./mwi.ts";
import type { AnchorOptions } from "./options.ts";
import { Outbound } from "./outbound.ts";
import { OwnAnswers } from "./own-answers.ts";
import { Relay } from "./relay.ts";
import { ToPhones } from "./to-phones.ts";
import { TunnelRegistrar } from "./tunnel-registrar.ts";

/** The parts of the call side, wired. */
export interface Parts {
  readonly core: Core;
  readonly life: DialogLife;
  readonly relay: Relay;
  readonly inbound: InboundCalls;
  readonly outbound: Outbound;
  readonly messages: Messages;
  readonly mwi: Mwi;
  readonly toPhones: ToPhones;
  readonly registrar: TunnelRegistrar;
  readonly lost: LostPhones;
  readonly answers: OwnAnswers;
}

export function makeParts(options: AnchorOptions, user: TransactionUser): Parts {
  const core = new Core(options, user);
  const life = new DialogLife(core);
  const relay = new Relay(core, life);
  return {
    core,
    life,
    relay,
    inbound: new InboundCalls(core, life),
    outbound: new Outbound(core, life, relay),
    messages: new Messages(core),
    mwi: new Mwi(core),
    toPhones: new ToPhones(core, life),
    registrar: new TunnelRegistrar(core),
    lost: new LostPhones(core, life, relay),
    answers: new OwnAnswers(core),
  };
}
