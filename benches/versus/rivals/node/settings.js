// What the environment says, the same variables for every rival.
'use strict';

const { env } = process;
const port = Number(env.PORT);
if (!Number.isInteger(port) || port < 1 || port > 65535) {
  console.error('node-rival: PORT is not set to a port to listen on');
  process.exit(2);
}
const store = env.STORE || 'file';
if (store !== 'file' && store !== 'postgres') {
  console.error(`node-rival: STORE=${store}: postgres or empty`);
  process.exit(2);
}
const workers = (env.CORES || '0').split(',').length;

exports.settings = {
  host: env.HOST || '127.0.0.1',
  port,
  workers,
  store,
  databaseUrl: env.DATABASE_URL,
  // Of this worker: its part of what all may have.
  connectionsMax: Math.max(1, Math.floor(Number(env.DATABASE_MAX_CONN || 16) / workers)),
  staticDir: env.STATIC_DIR || '.',
  cacheTtlSeconds: Number(env.CACHE_TTL_MS || 10_000) / 1000,
  usersFile: env.USERS_FILE,
  datasetFile: env.DATASET_FILE,
};
