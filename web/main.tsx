import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { openSession } from './data/api.ts';
import './styles/base.css';
import './styles/runs.css';
import './styles/run.css';
import './styles/chart.css';
import './styles/forms.css';
import './styles/host.css';
import './styles/narrow.css';

// A wrong token is told by the first page that is refused its data.
await openSession().catch(() => undefined);
createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
