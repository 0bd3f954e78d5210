// Loaded before the script: makes the runtime, or what the script uses of it, another one.
'use strict';
const fs = require('fs');
const { AsyncLocalStorage } = require('async_hooks');

const versions = (others) => {
  Object.defineProperty(process, 'versions', { value: { ...process.versions, ...others } });
};
const { openSync } = fs;

({
  nothing() {},
  another_version: () => versions({ node: '23.11.0' }),
  a_later_version: () => versions({ node: '99.0.0' }),
  bun: () => versions({ bun: '1.3.0' }),
  no_proc() {
    fs.openSync = (path, ...rest) => {
      if (String(path).startsWith('/proc/thread-self')) {
        throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
      }
      return openSync(path, ...rest);
    };
  },
  no_channels() {
    require('diagnostics_channel').subscribe = () => { throw new Error('not here'); };
  },
  no_store() {
    AsyncLocalStorage.prototype.enterWith = () => { throw new Error('not here'); };
  },
})[process.env.STRANGE]();
