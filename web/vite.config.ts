import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// One script and one style sheet under fixed names: small enough to be read at once, and easily put into
// the one file of an exported run.
export default defineConfig({
  plugins: [react()],
  build: {
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1000,
    rolldownOptions: {
      output: { entryFileNames: 'app.js', assetFileNames: 'app[extname]', codeSplitting: false },
    },
  },
});
