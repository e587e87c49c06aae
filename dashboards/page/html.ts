import { html as markup } from 'htm/preact';
import type { VNode } from 'preact';

/** A template that becomes elements. Every value is text or an attribute, never markup: names of users and devices cannot do harm. */
export const html = markup as (parts: TemplateStringsArray, ...values: unknown[]) => VNode;
