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
// alone. Sockets that something else than node:http, node:https, node:http2 and undici (fetch)
// writes to are not told of; nor are streams of HTTP/2 where Node does not tell of them itself.
//
// A connection of HTTP/2 has many requests at a time. So what streams are for stands in notes behind
// the slots, the latest in the place of the oldest; wirespan reads those that are new before it looks
// at bytes. What is done for a stream, and in answer to one, is done with its number: Node itself does
// it with that of whoever opened the connection.
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
    const MAGIC = 'WIRESPAN-NODE-2\0';
    const MAGIC_AT = 16;
    const NAME_LEN = 16;
    const NOTED_AT = 32;
    const NOTES = 1024;
    const NOTE_WORDS = 4;
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
    let notes = null;
    let noted = null;
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
        if (notes) notes.fill(0);
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

    function next() {
      seq = seq >= SEQ_MAX ? 1 : seq + 1;
      return seq;
    }

    // The request that is read next on this socket has a number of its own.
    function expect(socket) {
      const fd = descriptor(socket);
      if (fd >= 0) set(fd, NEXT, next());
    }

    // What a stream of HTTP/2 is for.
    function note(stream, what, number) {
      const { session } = stream;
      if (!session || session.destroyed) return;
      const fd = descriptor(session.socket);
      if (fd < 0) return;
      const at = NOTE_WORDS * (noted[0] % NOTES);
      notes[at] = what;
      notes[at + 1] = fd;
      notes[at + 2] = stream.id;
      notes[at + 3] = number;
      // Last, so that it is whole when it is read.
      noted[0] += 1;
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

    // HTTP/2: what streams of a server have for a number, and those of clients.
    const streams = new WeakMap();
    const sessions = new WeakSet();

    // All that is told of an emitter is heard with the number that `numberOf` has for it.
    function hearWith(emitter, numberOf) {
      const { emit } = emitter;
      const own = function (...told) {
        if (isOff) return Reflect.apply(emit, this, told);
        return requests.run(numberOf(told), () => Reflect.apply(emit, this, told));
      };
      const property = { value: own, configurable: true, writable: true };
      Object.defineProperty(emitter, 'emit', property);
    }

    function streamBegins(stream, number) {
      streams.set(stream, number);
      hearWith(stream, () => number);
      const { session } = stream;
      if (!session || sessions.has(session)) return;
      sessions.add(session);
      hearWith(session, ([event, about]) => (event === 'stream' && streams.get(about)) || 0);
    }

    function streamServed({ stream }) {
      const number = next();
      streamBegins(stream, number);
      note(stream, TAKEN, number);
      tell();
    }

    // grpc-js makes calls when it has a connection, in the context of whoever wanted it first. So the
    // one that wanted a call is remembered, and what is done for the call is done with its number.
    // Where grpc-js is not found, as in a bundle, its calls are nobody's.
    const { cache } = require;
    const GRPC = /[\\/]@grpc[\\/]grpc-js[\\/]build[\\/]src[\\/](resolving|load-balancing)-call\.js$/;
    const GRPC_CONTENT = 'application/grpc';
    let isGrpcFound = false;

    function findGrpc() {
      for (const path of Object.keys(cache)) {
        if (!GRPC.test(path)) continue;
        const { ResolvingCall, LoadBalancingCall } = cache[path].exports;
        if (ResolvingCall) isGrpcFound = patchCall(ResolvingCall.prototype, 'getConfig') || isGrpcFound;
        if (LoadBalancingCall) patchCall(LoadBalancingCall.prototype, 'doPick');
      }
    }

    // Its method `later` may be called whenever it can go on.
    function patchCall(prototype, later) {
      if (patched.has(prototype)) return true;
      const { start, [later]: goesOn } = prototype;
      if (typeof start !== 'function' || typeof goesOn !== 'function') return false;
      patched.add(prototype);
      const calls = new WeakMap();
      const begins = guarded((call) => calls.set(call, requests.getStore() ?? 0));
      prototype.start = function (...rest) {
        begins(this);
        return Reflect.apply(start, this, rest);
      };
      prototype[later] = function (...rest) {
        if (isOff) return Reflect.apply(goesOn, this, rest);
        return requests.run(calls.get(this) ?? 0, () => Reflect.apply(goesOn, this, rest));
      };
      return true;
    }

    function isGrpc(headers) {
      const type = headers?.['content-type'];
      return typeof type === 'string' && type.startsWith(GRPC_CONTENT);
    }

    // A call on a stream. It is told of when it is made and when the stream has a number, the later
    // first where that is at once.
    function streamAsked({ stream, headers }) {
      if (streams.has(stream)) return;
      let number = requests.getStore() ?? 0;
      if (!isGrpcFound && isGrpc(headers)) {
        number = 0;
        if (!sessions.has(stream.session)) findGrpc();
      }
      streamBegins(stream, number);
    }

    function streamSent({ stream, headers }) {
      streamAsked({ stream, headers });
      const number = streams.get(stream);
      if (number) note(stream, CALL, number);
    }

    // From the first connection to a server on.
    function begin() {
      const memory = new ArrayBuffer(HEADER + 8 * SLOTS + 4 * NOTE_WORDS * NOTES);
      table = new Uint32Array(memory, HEADER, 2 * SLOTS);
      notes = new Uint32Array(memory, HEADER + 8 * SLOTS);
      noted = new Uint32Array(memory, NOTED_AT, 1);
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

      // Of a Node that does not tell of streams nothing comes here.
      hear('http2.server.stream.start', streamServed);
      hear('http2.client.stream.created', streamAsked);
      hear('http2.client.stream.start', streamSent);
      findGrpc();
    }

    hear('net.server.socket', accepted);
  }
})();
