import { PAGE_PATH } from '../page-files.ts';
import { html } from './html.ts';

/** The page everything is drawn on, see `dashboards/page`. Nobody's data is in it, so it is the same for all. */
export function operationsPage(): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>Operations · Cloud-phone scheduler</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${PAGE_PATH}/lib/uplot.css">
<link rel="stylesheet" href="${PAGE_PATH}/page.css">
<script type="module" src="${PAGE_PATH}/main.js"></script>
</head>
<body>
<div id="app"><p class="loading">Loading …</p></div>
<noscript><p class="loading">This page needs JavaScript.</p></noscript>
</body>
</html>
`.text;
}
