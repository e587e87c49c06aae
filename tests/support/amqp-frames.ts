import type { Filter } from './tcp-proxy.ts';

/** Frames of AMQP 0-9-1: those a healthy broker cannot be made to send, and what keeps some of a conversation back. */

const METHOD_FRAME = 1;
const FRAME_END = 0xce;
const CONNECTION_CLASS = 10;
/** Type, channel and length before what a frame carries, and its end after that. */
const HEAD = 7;
const ENVELOPE = HEAD + 1;
/** What a client begins with: no frame. */
const GREETING = 'AMQP';
const GREETING_LENGTH = 8;

/** Methods by class and number. */
export const METHODS = { openChannel: '20.10', channelClosed: '20.41', declareExchange: '40.10', confirmed: '60.80' } as const;

/** Keeps frames of one method back on its way through a proxy; everything else, heartbeats too, passes. */
export interface FrameGate {
  readonly filter: () => Filter;
  /** How many are kept back. */
  held(): number;
  /** Passes on what was kept back and keeps nothing any more. */
  open(): void;
}

export function createFrameGate(method: string): FrameGate {
  const held: (() => void)[] = [];
  let isOpen = false;
  return {
    filter: () => {
      let rest = Buffer.alloc(0);
      return (chunk, pass) => {
        rest = Buffer.concat([rest, chunk]);
        for (let frame = firstFrame(rest); frame !== undefined; frame = firstFrame(rest)) {
          const bytes = frame;
          rest = rest.subarray(bytes.length);
          if (!isOpen && methodOf(bytes) === method) held.push(() => pass(bytes));
          else pass(bytes);
        }
      };
    },
    held: () => held.length,
    open: () => {
      isOpen = true;
      for (const passOn of held.splice(0)) passOn();
    },
  };
}

function firstFrame(bytes: Buffer): Buffer | undefined {
  const isGreeting = bytes.subarray(0, GREETING.length).toString('latin1') === GREETING;
  if (!isGreeting && bytes.length < ENVELOPE) return undefined;
  const length = isGreeting ? GREETING_LENGTH : ENVELOPE + bytes.readUInt32BE(3);
  return bytes.length < length ? undefined : bytes.subarray(0, length);
}

function methodOf(frame: Buffer): string | undefined {
  if (frame.length < HEAD + 4 || frame.readUInt8(0) !== METHOD_FRAME) return undefined;
  return `${frame.readUInt16BE(HEAD)}.${frame.readUInt16BE(HEAD + 2)}`;
}

/** `connection.blocked`. */
export function blockedFrame(reason: string): Buffer {
  return connectionFrame(60, Buffer.concat([Buffer.from([reason.length]), Buffer.from(reason)]));
}

/** `connection.unblocked`. */
export function unblockedFrame(): Buffer {
  return connectionFrame(61, Buffer.alloc(0));
}

function connectionFrame(method: number, fields: Buffer): Buffer {
  const head = Buffer.alloc(11);
  head.writeUInt8(METHOD_FRAME, 0);
  head.writeUInt16BE(0, 1);
  head.writeUInt32BE(4 + fields.length, 3);
  head.writeUInt16BE(CONNECTION_CLASS, 7);
  head.writeUInt16BE(method, 9);
  return Buffer.concat([head, fields, Buffer.from([FRAME_END])]);
}
