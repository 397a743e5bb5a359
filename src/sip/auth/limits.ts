/** The bounds of what a challenge may make us remember and send back. A challenge beyond them is not answered. */

/** Seen in the field: up to 64. */
export const realmBytesMax = 256;
/** Kamailio and Asterisk send 32 to 60, Microsoft's and some SBCs' tokens up to some 400. */
export const nonceBytesMax = 1024;
export const opaqueBytesMax = 1024;
export const domainBytesMax = 1024;
/** Challenges read from one message: three algorithms for each of five realms. */
export const challengesMax = 15;
export const cnonceBytesMax = 64;
