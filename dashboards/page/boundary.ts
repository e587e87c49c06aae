import { Component, type ComponentChildren } from 'preact';
import { html } from './html.ts';

/** A part that fails says so in its place; the others go on. */
export class Boundary extends Component<{ readonly children?: ComponentChildren }, { readonly problem?: string }> {
  override componentDidCatch(error: unknown): void {
    reportError(error);
    this.setState({ problem: error instanceof Error ? error.message : String(error) });
  }

  override render() {
    if (this.state.problem === undefined) return this.props.children;
    return html`<section class="panel"><p class="panel-problem" role="alert">This part cannot be shown: ${this.state.problem} Reload to try again.</p></section>`;
  }
}
