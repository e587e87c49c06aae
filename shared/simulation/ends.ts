/** A device that is given back. */
export interface End {
  readonly atMs: number;
  readonly userId: string;
  readonly deviceId: string;
}

/** What ends, the earliest first. */
export interface Ends {
  push(end: End): void;
  /** @throws Error when nothing is left */
  pop(): End;
  /** `Infinity` when nothing is left. */
  earliest(): number;
  size(): number;
}

/** A binary heap: a push and a pop take the logarithm of what is in it. */
export function createEnds(): Ends {
  const heap: End[] = [];
  const at = (index: number) => heap[index]?.atMs ?? Infinity;
  const swap = (a: number, b: number) => {
    const [one, other] = [heap[a], heap[b]];
    if (one === undefined || other === undefined) return;
    heap[a] = other;
    heap[b] = one;
  };

  function rise(index: number): void {
    for (let child = index; child > 0; ) {
      const parent = (child - 1) >> 1;
      if (at(parent) <= at(child)) return;
      swap(parent, child);
      child = parent;
    }
  }

  function sink(): void {
    for (let parent = 0; ; ) {
      const child = at(2 * parent + 2) < at(2 * parent + 1) ? 2 * parent + 2 : 2 * parent + 1;
      if (at(parent) <= at(child)) return;
      swap(parent, child);
      parent = child;
    }
  }

  return {
    push: (end) => rise(heap.push(end) - 1),
    pop: () => {
      const [first] = heap;
      const last = heap.pop();
      if (first === undefined || last === undefined) throw new Error('nothing is left to end');
      if (heap.length > 0) {
        heap[0] = last;
        sink();
      }
      return first;
    },
    earliest: () => at(0),
    size: () => heap.length,
  };
}
