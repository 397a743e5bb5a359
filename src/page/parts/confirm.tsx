import { useLayoutEffect, useRef } from "preact/hooks";

/** A question before what cannot be undone. Escape and the other button say no; focus goes back to where it was. */
export function Confirm({
  title,
  words,
  act,
  onDone,
}: {
  readonly title: string;
  readonly words: string;
  readonly act: string;
  readonly onDone: (isSure: boolean) => Promise<void>;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  // The browser itself gives the focus back when a dialog is closed, before it leaves the page.
  useLayoutEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby="confirm-title"
      aria-describedby="confirm-words"
      onCancel={(event) => {
        event.preventDefault();
        void onDone(false);
      }}
    >
      <h2 id="confirm-title">{title}</h2>
      <p id="confirm-words">{words}</p>
      <div class="row end">
        <button type="button" onClick={() => void onDone(false)}>
          Keep it
        </button>
        <button type="button" class="danger" onClick={() => void onDone(true)}>
          {act}
        </button>
      </div>
    </dialog>
  );
}
