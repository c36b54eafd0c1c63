import { type ReactNode, useEffect, useRef } from 'react';

/** A modal question. Escape and a click beside it say no. */
export function Dialog({
  title,
  onClose,
  children,
}: {
  title: string;
  onClose(): void;
  children: ReactNode;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={ref}
      aria-label={title}
      onCancel={onClose}
      onClick={(event) => event.target === ref.current && onClose()}
    >
      <h2>{title}</h2>
      {children}
    </dialog>
  );
}
