import { bytes } from '../data/text.ts';

interface Amount {
  done: number;
  /** Null: nobody knows how much there will be. */
  total: number | null;
  unit: 'bytes' | 'runs';
}

/** How far something is; without a total it only says how much. */
export function Meter({ label, ...amount }: Amount & { label: string }) {
  const { done, total, unit } = amount;
  const part = total === null || total === 0 ? null : Math.min(1, done / total);
  const text =
    part === null ? bytes(done) : unit === 'runs' ? `${done}/${total}` : `${Math.floor(part * 100)} %`;
  return (
    <span className="meter" role="img" aria-label={`${label}: ${inWords(amount)}`} title={inWords(amount)}>
      <span className="track">
        <span className="fill" style={{ width: `${(part ?? 0.1) * 100}%` }} />
      </span>
      <span className="num">{text}</span>
    </span>
  );
}

function inWords({ done, total, unit }: Amount): string {
  if (unit === 'runs') return `${done} of ${total} runs below it have ended`;
  return total === null ? bytes(done) : `${bytes(done)} of ${bytes(total)}`;
}
