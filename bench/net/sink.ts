import { udpSocket } from "bun";

/** A process that takes datagrams on a loopback port and throws them away; prints the port. */
const socket = await udpSocket({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
console.log(socket.port);
