import { bytes } from '../data/text.ts';

/** How far something is; without a total it only says how much. */
export function Meter({ done, total, label }: { done: number; total: number | null; label: string }) {
  const part = total === null || total === 0 ? null : Math.min(1, done / total);
  return (
    <span className="meter" role="img" aria-label={`${label}: ${meterText(done, total)}`}>
      <span className="track">
        <span className="fill" style={{ width: `${(part ?? 0.1) * 100}%` }} />
      </span>
      <span className="num">{part === null ? bytes(done) : `${Math.floor(part * 100)} %`}</span>
    </span>
  );
}

const meterText = (done: number, total: number | null): string =>
  total === null ? bytes(done) : `${bytes(done)} of ${bytes(total)}`;
