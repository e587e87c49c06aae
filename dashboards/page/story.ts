import type { StoryKind } from './route.ts';

/* A story as the server tells it; see `dashboards/story.ts`. Times are ISO 8601, of jobs ms since 1970. */

export interface Story {
  readonly kind: StoryKind;
  readonly id: string;
  readonly user?: {
    readonly id: string;
    readonly tenantId: string | null;
    readonly state: string;
    readonly arrearsSince: string | null;
    readonly paymentFailures: number;
  };
  readonly device?: StoryDevice;
  readonly allocations: readonly StoryAllocation[];
  readonly requests: readonly StoryRequest[];
  readonly extensions: readonly {
    readonly id: string;
    readonly minutes: number;
    readonly automatic: boolean;
    readonly extendedBy: string;
    readonly extendedAt: string;
  }[];
  readonly events: readonly StoryEvent[];
  readonly reservations: readonly StoryReservation[];
  readonly jobs: readonly StoryJob[];
}

export interface StoryDevice {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly status: string;
  readonly draining: boolean;
  readonly cleaning: boolean;
  readonly providerType: string;
  readonly region: string | null;
  readonly nodeId: string | null;
  readonly cpuCores: number;
  readonly memoryMB: number;
  readonly storageMB: number;
  readonly healthScore: number;
  readonly fence: string;
  readonly allocationId: string | null;
}

export interface StoryAllocation {
  readonly id: string;
  readonly requestId: string;
  readonly deviceId: string;
  readonly deviceName: string;
  readonly userId: string;
  readonly tier: string;
  readonly status: string;
  readonly fence: string;
  readonly strategy: string;
  readonly allocatedAt: string;
  readonly expiresAt: string;
  readonly endedAt: string | null;
  readonly endReason: string | null;
  readonly billedSeconds: number | null;
  readonly billing: string | null;
  readonly billingError: string | null;
}

export interface StoryRequest {
  readonly id: string;
  readonly userId: string;
  readonly tier: string;
  readonly status: string;
  readonly source: string;
  readonly code: string | null;
  readonly parked: string | null;
  readonly allocationId: string | null;
  readonly createdAt: string;
  readonly waitingSince: string | null;
  readonly decidedAt: string | null;
  readonly estimatedP50: string | null;
}

export interface StoryEvent {
  readonly id: string;
  readonly channel: string;
  readonly topic: string;
  readonly status: string;
  readonly attempts: number;
  readonly lastError: string | null;
  readonly createdAt: string;
  readonly deliveredAt: string | null;
}

export interface StoryReservation {
  readonly id: string;
  readonly userId: string;
  readonly deviceName: string | null;
  readonly status: string;
  readonly startsAt: string;
  readonly endsAt: string;
  readonly allocationId: string | null;
}

export interface StoryJob {
  readonly queue: string;
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly attempts: number;
  readonly at: number;
  readonly finishedAt?: number;
  readonly failedReason?: string;
  readonly logs: readonly string[];
}
