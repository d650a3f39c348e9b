// The usual Node stack with the users API, as a handbook's chapter on scaling
// Node teaches it: one worker per core by `cluster`, express, node-cache with a
// TTL, a pool of pg, express.static, compression.
//
// Tuned as its users would: NODE_ENV=production, node-cache without clones and
// with finished bodies in it, prepared statements, no entity tags computed from
// bodies. Fair: the same rows, columns and number of connections. Unfair to
// corelane: no limits, metrics or log; and the cache of a worker knows nothing
// of writes through another one until its TTL ends. Unfair to Node: nothing is
// pinned by itself; the primary hands each connection over to a worker.
'use strict';

// Read by express when it is loaded.
process.env.NODE_ENV = 'production';

const cluster = require('node:cluster');
const { settings } = require('./settings');

if (cluster.isPrimary) {
  let stopping = false;
  for (let index = 0; index < settings.workers; index += 1) cluster.fork();
  cluster.on('exit', (worker, code) => {
    if (stopping) {
      if (Object.keys(cluster.workers).length === 0) process.exit(0);
    } else if (!worker.listened) {
      console.error(`node-rival: a worker ended with ${code} before it listened`);
      process.exit(1);
    } else {
      cluster.fork();
    }
  });
  cluster.on('listening', (worker) => { worker.listened = true; });
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, () => {
      stopping = true;
      for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGTERM');
    });
  }
} else {
  const { openUsers } = require('./users');
  const { makeApp } = require('./app');
  const http = require('node:http');
  // The default ends connections that were idle for five seconds.
  const options = { keepAliveTimeout: 75_000 };
  process.on('SIGTERM', () => process.exit(0));
  openUsers(settings).then((users) => {
    const { host, port } = settings;
    http.createServer(options, makeApp(settings, users)).listen({ host, port, backlog: 4096 });
  }).catch((why) => {
    console.error(`node-rival: ${why.message}`);
    process.exit(1);
  });
}
