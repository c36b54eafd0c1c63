import { useEffect } from 'react';
import { age, bytes } from '../data/text.ts';
import type { SpaceDocument, StoreDocument } from '../data/types.ts';
import { useGet, useNow } from '../data/use.ts';
import { Failure } from '../ui/trouble.tsx';
import { LayerGraph } from './layer-graph.tsx';
import { SpaceChart } from './space-chart.tsx';

/** What is on the host: images and what they share, what is mounted, how full things are. */
export function HostPage() {
  const tick = useNow(5000);
  const store = useGet<StoreDocument>('/api/store', tick);
  const space = useGet<SpaceDocument>('/api/space?hours=24', tick);
  useEffect(() => {
    document.title = 'Host · flyd';
  }, []);
  const failure = store.error ?? space.error;
  return (
    <div className="page">
      <h1>Host</h1>
      {failure !== null && <Failure error={failure} />}
      <section aria-label="Space" className="spaces">
        {space.data?.now.map((each) => (
          <SpaceChart
            key={each.what}
            space={each}
            samples={space.data?.samples.filter(({ what }) => what === each.what) ?? []}
            thresholds={space.data?.thresholds ?? { warn: 0.8, critical: 0.95 }}
          />
        ))}
      </section>
      {store.data !== null && <Store store={store.data} now={tick} />}
    </div>
  );
}

function Store({ store, now }: { store: StoreDocument; now: number }) {
  const { activations, images, volumes, blobs } = store;
  const stored = blobs.reduce((sum, { size }) => sum + size, 0);
  const unshared = images.reduce((sum, { size }) => sum + size, 0);
  return (
    <>
      <h2>
        {images.length} images, {blobs.length} layers, {volumes.length} volumes
        <span className="dim">
          {' '}
          · {bytes(stored)} of layers on disk
          {unshared > stored && `, ${bytes(unshared - stored)} saved by sharing`}
        </span>
      </h2>
      {images.length === 0 ? <p className="empty">No images yet.</p> : <LayerGraph store={store} />}
      <h2>{activations.length} activations</h2>
      {activations.length > 0 && (
        <section className="wide" aria-label="Activations" tabIndex={0}>
          <table className="plain">
            <thead>
              <tr>
                {['Activation', 'Image', 'Driver', 'State', 'Where', 'Age'].map((head) => (
                  <th key={head}>{head}</th>
                ))}
              </tr>
            </thead>
            <tbody>
              {activations.map((each) => (
                <tr key={each.id}>
                  <td>
                    <code>{each.name ?? each.id}</code>
                  </td>
                  <td>{each.family}</td>
                  <td>{each.driver}</td>
                  <td>
                    {each.state}
                    {each.readOnly && ', read-only'}
                  </td>
                  <td>
                    <code>{each.path ?? each.device ?? ''}</code>
                  </td>
                  <td>{age(now - each.createdAt)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </>
  );
}
