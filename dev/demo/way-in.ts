import type { PlannedRequest } from './planned-request.ts';

/** How much longer a device is wanted when it is asked for longer. */
export const MORE_MINUTES = 10;

/** How far a request has come, as its caller was told. */
export type Told =
  | { readonly kind: 'granted'; readonly allocationId: string; readonly fence: number | undefined }
  | { readonly kind: 'refused'; readonly code: string }
  | { readonly kind: 'waiting'; readonly requestId: string };

/** One way into the scheduler. Every method repeats itself through faults that pass, and throws when one does not. */
export interface WayIn {
  /** Asks once, under the id of the plan: asking again is the same request. */
  ask(plan: PlannedRequest): Promise<Told>;
  /** Waits until a waiting request is decided. */
  await(plan: PlannedRequest, requestId: string): Promise<Told>;
  /** Asks to keep the device longer, under an id that follows from the plan's. @returns the code of a refusal, undefined when it was granted */
  extend(plan: PlannedRequest, allocationId: string, fence: number | undefined): Promise<string | undefined>;
  release(plan: PlannedRequest, allocationId: string, fence: number | undefined): Promise<void>;
  close(): Promise<void>;
}
