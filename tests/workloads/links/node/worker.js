// The server of app.js in a worker thread.
'use strict';
const { Worker } = require('worker_threads');

new Worker(`${__dirname}/app.js`, { argv: process.argv.slice(2) });
