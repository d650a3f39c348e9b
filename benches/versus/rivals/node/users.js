// Where users come from and go to: PostgreSQL, or a file read at start.
'use strict';

const fs = require('node:fs');
const pg = require('pg');

// Ids and times are bigint; all are below 2^53.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

const COLUMNS = 'id, name, email, age, lat, lon, created_at_ms, updated_at_ms, version';

class PostgresUsers {
  constructor(pool) { this.pool = pool; }

  async user(id) {
    const { rows } = await this.pool.query({
      name: 'user', text: `SELECT ${COLUMNS} FROM users WHERE id = $1`, values: [id],
    });
    return rows.length === 0 ? undefined : finished(userOf(rows[0]));
  }

  async page(after, limit) {
    const { rows } = await this.pool.query({
      name: 'page',
      text: `SELECT ${COLUMNS} FROM users WHERE id > $1 ORDER BY id LIMIT $2`,
      values: [after, limit],
    });
    return rows.map(userOf);
  }

  async create({ name, email, age, location }) {
    const { rows } = await this.pool.query({
      name: 'create',
      text: `INSERT INTO users (name, email, age, lat, lon, created_at_ms, updated_at_ms, version)
             VALUES ($1, $2, $3, $4, $5, $6, $6, 1) RETURNING ${COLUMNS}`,
      values: [name, email, age, location?.lat, location?.lon, Date.now()],
    });
    return userOf(rows[0]);
  }

  async replace(id, { name, email, age, location }) {
    const { rows } = await this.pool.query({
      name: 'replace',
      text: `UPDATE users SET name = $2, email = $3, age = $4, lat = $5, lon = $6,
             updated_at_ms = greatest($7, updated_at_ms), version = version + 1
             WHERE id = $1 RETURNING ${COLUMNS}`,
      values: [id, name, email, age, location?.lat, location?.lon, Date.now()],
    });
    return rows.length === 0 ? undefined : userOf(rows[0]);
  }
}

// Line i of the file is the JSON of user i; nothing can be written.
class FileUsers {
  constructor(lines) { this.users = new Map(lines); }

  async user(id) { return this.users.get(id); }
}

async function openUsers({ store, databaseUrl, connectionsMax, usersFile }) {
  if (store === 'postgres') {
    const pool = new pg.Pool({ connectionString: databaseUrl, max: connectionsMax });
    // A connection that breaks while nobody uses it is replaced by the pool.
    pool.on('error', (why) => console.error(`node-rival: ${why.message}`));
    // A database that cannot be reached is told now.
    await pool.query('SELECT 1');
    return new PostgresUsers(pool);
  }
  if (!usersFile) throw new Error('neither STORE nor USERS_FILE is set: there are no users');
  const lines = fs.readFileSync(usersFile, 'utf8').split('\n').filter((line) => line !== '');
  return new FileUsers(lines.map((line) => {
    const { id, version } = JSON.parse(line);
    return [id, { body: Buffer.from(line), etag: etagOf(id, version) }];
  }));
}

function userOf(row) {
  return {
    id: row.id,
    name: row.name,
    email: row.email,
    age: row.age,
    location: row.lat === null ? null : { lat: row.lat, lon: row.lon },
    created_at: new Date(row.created_at_ms).toISOString(),
    updated_at: new Date(row.updated_at_ms).toISOString(),
    version: row.version,
  };
}

// What is cached of a user: the answer but for its head.
function finished(user) {
  return { body: Buffer.from(JSON.stringify(user)), etag: etagOf(user.id, user.version) };
}

function etagOf(id, version) { return `"u${id}-v${version}"`; }

module.exports = { openUsers, finished };
