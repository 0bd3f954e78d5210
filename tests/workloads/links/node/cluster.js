// The server of app.js in two processes that share a port.
'use strict';
const cluster = require('cluster');

if (cluster.isPrimary) {
  for (let n = 0; n < 2; n++) cluster.fork();
} else {
  require('./app.js');
}
