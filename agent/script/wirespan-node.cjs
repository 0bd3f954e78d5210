// Copyright The wirespan authors. SPDX-License-Identifier: Apache-2.0
//
// Tells wirespan, which watches this process from outside, which request each call of the process
// belongs to. Loaded by the user's own choice: NODE_OPTIONS=--require=/path/wirespan-node.cjs
//
// Each request that a server of this process takes has a number, kept in an AsyncLocalStorage. A
// table has a slot for each descriptor: there stands the number of the request that is read next on
// that socket, or of the one that is written to it for. wirespan reads it when bytes move; nothing
// is sent, and no system call is made for a request. Where the table lies is told by writing it to
// /proc/thread-self/comm, which sets the thread's name to what it is already: the table begins with
// that name. wirespan sees the call. It is made when connections and requests come, once a second
// at most but for the first few, so that a wirespan that starts later hears of it.
//
// It prints nothing, keeps no descriptor and no timer, throws nothing into the application, and at
// the first surprise it takes itself out, for good. A runtime that it was not tried with is left
// alone. Sockets that something else than node:http, node:https and undici (fetch) writes to, and
// HTTP/2, are not told of.
'use strict';

(() => {
  try {
    load();
  } catch {
    // Something is not as it was where this was tried: then it is not loaded.
  }

  function load() {
    // Versions that it was tried with; of others it is not known how they call what is used here.
    const MAJORS = [20, 22, 24, 26];
    // The layout of the table: agent-common/src/node.rs has the same.
    const HEADER = 64;
    const SLOTS = 65536;
    const MAGIC = 'WIRESPAN-NODE-1\0';
    const MAGIC_AT = 16;
    const NAME_LEN = 16;
    const NEXT = 0x77730001;
    const TAKEN = 0x77730002;
    const CALL = 0x77730003;
    const SEQ_MAX = 0x3fffffff;
    // How often it is told where the table lies, in milliseconds.
    const TELL_EVERY = 1000;

    const { versions, platform } = process;
    const [major, minor] = versions.node.split('.').map(Number);
    const isOther = versions.bun || versions.deno || versions.electron || globalThis.Deno;
    const LOADED = Symbol.for('wirespan.node');
    if (isOther || platform !== 'linux' || !MAJORS.includes(major) || globalThis[LOADED]) return;
    Object.defineProperty(globalThis, LOADED, { value: true });

    // Its own copies, as the application may replace what these are found by.
    const { openSync, readSync, writeSync, closeSync } = require('node:fs');
    const channels = require('node:diagnostics_channel');
    const { AsyncLocalStorage, AsyncResource } = require('node:async_hooks');
    const { now } = Date;

    const subscribed = [];
    let isOff = false;
    // Of what follows nothing is there before the first connection to a server.
    let requests = null;
    let table = null;
    let bytes = null;
    let name = null;
    let seq = 0;
    let highest = -1;
    let events = 0;
    let toldAt = 0;

    function switchOff() {
      isOff = true;
      try {
        for (const [channel, listener] of subscribed) channels.unsubscribe(channel, listener);
        if (requests) requests.disable();
        if (table) table.fill(0, 0, 2 * (highest + 1));
      } catch {
        // Then what is left of it does nothing.
      }
    }

    // What it does, so that nothing gets out.
    function guarded(act) {
      return (told) => {
        if (isOff) return;
        try {
          act(told);
        } catch {
          switchOff();
        }
      };
    }

    function hear(channel, act) {
      const listener = guarded(act);
      channels.subscribe(channel, listener);
      subscribed.push([channel, listener]);
    }

    // The descriptor of a socket, -1 if it has none, or one that the table has no slot for.
    function descriptor(socket) {
      const handle = socket?._handle;
      let fd = handle?.fd;
      if (!(fd >= 0)) fd = handle?._parent?.fd;
      return fd >= 0 && fd < SLOTS ? fd : -1;
    }

    function set(fd, what, number) {
      if (fd > highest) highest = fd;
      // First, so that the one is never read with the other's number.
      table[2 * fd] = 0;
      table[2 * fd + 1] = number;
      table[2 * fd] = what;
    }

    // The request that is read next on this socket has a number of its own.
    function expect(socket) {
      const fd = descriptor(socket);
      if (fd < 0) return;
      seq = seq >= SEQ_MAX ? 1 : seq + 1;
      set(fd, NEXT, seq);
    }

    // Tells where the table lies, if that was not done lately.
    function tell() {
      events = (events + 1) | 0;
      const time = now();
      const isEarly = events > 0 && (events & (events - 1)) === 0;
      if (!isEarly && time >= toldAt && time - toldAt < TELL_EVERY) return;
      toldAt = time;
      let comm;
      try {
        comm = openSync('/proc/thread-self/comm', 'r+');
      } catch (error) {
        // There are too many open files; that may pass.
        if (error.code === 'EMFILE' || error.code === 'ENFILE') return;
        throw error;
      }
      try {
        const read = readSync(comm, name, 0, NAME_LEN, 0);
        bytes.fill(0, 0, NAME_LEN);
        // A line's end is behind it.
        name.copy(bytes, 0, 0, read - 1);
        writeSync(comm, bytes, 0, bytes.length);
      } finally {
        closeSync(comm);
      }
    }

    // A connection to a server of this process.
    function accepted({ socket }) {
      if (!table) begin();
      expect(socket);
      tell();
    }

    function requestStarted({ socket }) {
      const fd = descriptor(socket);
      // One that came while another one is served on its connection has none.
      const isNext = fd >= 0 && table[2 * fd] === NEXT;
      const number = isNext ? table[2 * fd + 1] : 0;
      if (isNext) table[2 * fd] = TAKEN;
      requests.enterWith(number);
      tell();
    }

    // A call of the request with this number will be written to the socket.
    function calls(fd, number) {
      if (fd >= 0) set(fd, CALL, number);
    }

    // It is over.
    function called(fd, number) {
      if (fd >= 0 && table[2 * fd] === CALL && table[2 * fd + 1] === number) table[2 * fd] = 0;
    }

    // Of node:http and node:https.
    function clientRequest(request) {
      const number = requests.getStore();
      if (!number) return;
      let fd = -1;
      const connected = (socket) => {
        fd = descriptor(socket);
        calls(fd, number);
      };
      request.once('socket', guarded((socket) => {
        if (!socket.connecting) return connected(socket);
        socket.once('connect', guarded(() => connected(socket)));
      }));
      request.once('close', guarded(() => called(fd, number)));
    }

    // Before there was a channel for it.
    function patchAgent() {
      const { prototype } = require('node:http').Agent;
      const { addRequest } = prototype;
      const act = guarded(clientRequest);
      prototype.addRequest = function (request, ...rest) {
        act(request);
        return Reflect.apply(addRequest, this, [request, ...rest]);
      };
    }

    // undici, the one within Node and others. A pool may make a request when another one has ended,
    // in that one's context. Who wanted it is known to its handler: that is an AsyncResource, or it
    // was seen when it was handed over. Else nobody knows.
    const handlers = new WeakMap();
    const wanted = new WeakMap();
    const patched = new WeakSet();
    let isFirst = true;

    function handed(handler) {
      if (Object(handler) !== handler || handlers.has(handler)) return;
      handlers.set(handler, requests.getStore() ?? 0);
    }

    function patchDispatchers() {
      for (const which of [1, 2]) {
        patchDispatcher(globalThis[Symbol.for(`undici.globalDispatcher.${which}`)]);
      }
    }

    function patchDispatcher(dispatcher) {
      let prototype = dispatcher;
      while ((prototype = prototype && Object.getPrototypeOf(prototype))) {
        if (patched.has(prototype)) return;
        patched.add(prototype);
        const dispatch = Object.getOwnPropertyDescriptor(prototype, 'dispatch')?.value;
        if (typeof dispatch !== 'function') continue;
        const act = guarded(handed);
        prototype.dispatch = function (options, handler, ...rest) {
          act(handler);
          return Reflect.apply(dispatch, this, [options, handler, ...rest]);
        };
      }
    }

    function wantedBy(request) {
      // Nothing can have waited for it; and what it was handed over by may not have been seen.
      if (isFirst) {
        isFirst = false;
        return requests.getStore();
      }
      const key = Object.getOwnPropertySymbols(request).find((it) => it.description === 'handler');
      let handler = key && request[key];
      for (let depth = 0; handler && depth < 4; depth += 1) {
        if (handler instanceof AsyncResource) {
          return handler.runInAsyncScope(() => requests.getStore());
        }
        const number = handlers.get(handler);
        if (number !== undefined) return number;
        handler = handler.handler;
      }
      return 0;
    }

    // From the first connection to a server on.
    function begin() {
      const memory = new ArrayBuffer(HEADER + 8 * SLOTS);
      table = new Uint32Array(memory, HEADER);
      bytes = Buffer.from(memory);
      bytes.write(MAGIC, MAGIC_AT, 'latin1');
      name = Buffer.alloc(NAME_LEN);
      requests = new AsyncLocalStorage();

      hear('http.server.request.start', requestStarted);
      hear('http.server.response.finish', ({ socket }) => expect(socket));

      if (major > 22 || (major === 22 && minor >= 12)) {
        hear('http.client.request.created', ({ request }) => clientRequest(request));
      } else {
        patchAgent();
      }

      hear('undici:request:create', ({ request }) => {
        patchDispatchers();
        const number = wantedBy(request);
        if (number) wanted.set(request, { number, fd: -1 });
      });
      hear('undici:client:sendHeaders', ({ request, socket }) => {
        const fd = descriptor(socket);
        const own = wanted.get(request);
        if (own) {
          own.fd = fd;
          calls(fd, own.number);
        } else if (fd >= 0) {
          table[2 * fd] = 0;
        }
      });
      const over = ({ request }) => {
        const own = wanted.get(request);
        if (own) called(own.fd, own.number);
      };
      hear('undici:request:trailers', over);
      hear('undici:request:error', over);
    }

    hear('net.server.socket', accepted);
  }
})();
