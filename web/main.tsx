import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { openSession } from './data/api.ts';
import './styles.css';

// A wrong token is told by the first page that is refused its data.
await openSession().catch(() => undefined);
createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
