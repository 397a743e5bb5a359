import { describe, expect, test } from "bun:test";
import { loadConfig } from "../../src/config/load.ts";
import { ownSockets, socketsOf } from "../../src/net/own-sockets.ts";

describe("sockets of this server", () => {
  test("are HTTP's, the operator's, and the SIP ports of every shard on every address", () => {
    const config = loadConfig(undefined, {
      WAKELINE_HTTP__LISTEN: "127.0.0.1:8081",
      WAKELINE_OPERATOR__LISTEN: "[::1]:9091",
      WAKELINE_SIP__LISTEN: "0.0.0.0,::",
      WAKELINE_SIP__PORT: "5070",
      WAKELINE_SIP__SHARDS: "2",
    });
    expect(ownSockets({ ...config, sip: { ...config.sip, tlsPort: 5080 } })).toEqual([
      { address: "127.0.0.1", port: 8081 },
      { address: "::1", port: 9091 },
      ...[5070, 5071, 5080, 5081].flatMap((port) => [
        { address: "0.0.0.0", port },
        { address: "::", port },
      ]),
    ]);
  });

  test("of port 0 are not known yet, of localhost are two, of another name none", () => {
    expect(socketsOf({ host: "127.0.0.1", port: 0 })).toEqual([]);
    expect(socketsOf({ host: "localhost", port: 80 }).map(({ address }) => address)).toEqual(["127.0.0.1", "::1"]);
    expect(socketsOf({ host: "push.example.com", port: 80 })).toEqual([]);
  });
});
