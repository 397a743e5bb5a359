/** Quiet, one note every second and a half: heard, it is clear that sound arrives. */
const volume = 0.06;
const everySec = 1.5;
const noteSec = 0.5;
const aheadSec = 600;

/** Sound for a call without a microphone, so that the page asks for none: soft notes at `hertz`. Call `stop` when the call is over. */
export function openTone(hertz: number): { readonly stream: MediaStream; stop(): void } {
  const context = new AudioContext();
  const out = context.createMediaStreamDestination();
  const gain = context.createGain();
  const note = context.createOscillator();
  note.frequency.value = hertz;
  gain.gain.value = 0;
  for (let at = context.currentTime; at < context.currentTime + aheadSec; at += everySec) {
    gain.gain.setTargetAtTime(volume, at, 0.02);
    gain.gain.setTargetAtTime(0, at + noteSec, 0.08);
  }
  note.connect(gain).connect(out);
  note.start();
  return {
    stream: out.stream,
    stop: () => {
      note.stop();
      void context.close();
    },
  };
}
