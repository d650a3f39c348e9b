// The routes, in one worker. A user is read through node-cache; a list is read
// from the database each time, as every write would have to forget it.
'use strict';

const fs = require('node:fs');
const compression = require('compression');
const express = require('express');
const NodeCache = require('node-cache');
const { finished } = require('./users');

const UNIQUE_VIOLATION = '23505';
const JSON_TYPE = 'application/json';

function makeApp(settings, users) {
  const { cacheTtlSeconds, staticDir, datasetFile } = settings;
  const cache = new NodeCache({ stdTTL: cacheTtlSeconds, useClones: false });
  const dataset = datasetFile ? JSON.parse(fs.readFileSync(datasetFile, 'utf8')) : [];

  const app = express();
  app.disable('x-powered-by');
  // None from hashed bodies: users have their own, files theirs from `send`.
  app.set('etag', false);
  app.use((request, response, next) => {
    response.setHeader('Server', 'node');
    next();
  });

  app.get('/constant', (request, response) => {
    response.type('text/plain').send('Hello, World!');
  });

  app.get('/api/users/:id', async (request, response) => {
    const id = idOf(request);
    let user = cache.get(id);
    response.setHeader('X-Cache', user === undefined ? 'MISS' : 'HIT');
    if (user === undefined) {
      user = await users.user(id);
      if (user === undefined) return refuse(response, 404, 'there is no user with this id');
      cache.set(id, user);
    }
    response.setHeader('ETag', user.etag);
    response.setHeader('Content-Type', JSON_TYPE);
    // It answers 304 when the request has this entity tag.
    return response.send(user.body);
  });

  if (users.page) addDatabaseRoutes(app, users, cache);

  app.get('/json/:count', compression({ level: 1, threshold: 0 }), (request, response) => {
    const items = dataset.slice(0, Number(request.params.count) || 0)
      .map((item) => ({ ...item, total: item.price * item.quantity }));
    response.setHeader('Content-Type', JSON_TYPE);
    response.send(Buffer.from(JSON.stringify({ items, count: items.length })));
  });

  app.use('/static', express.static(staticDir, { index: false }));
  app.use((error, request, response, next) => {
    if (response.headersSent) return next(error);
    if (error.code === UNIQUE_VIOLATION) {
      return refuse(response, 409, 'another user has this email');
    }
    const status = error.status || 503;
    if (status >= 500) console.error(`node-rival: ${error.message}`);
    return refuse(response, status, status >= 500 ? 'the database failed' : error.message);
  });
  return app;
}

function addDatabaseRoutes(app, users, cache) {
  app.get('/api/users', async (request, response) => {
    const limit = Math.min(Math.max(Number(request.query.limit) || 20, 1), 100);
    // One more, to know whether there is a next page.
    const data = await users.page(Number(request.query.after) || 0, limit + 1);
    const hasMore = data.length > limit;
    if (hasMore) data.length = limit;
    const next = hasMore ? `/api/users?limit=${limit}&after=${data[limit - 1].id}` : null;
    sendJson(response, { data, page: 1, limit, next });
  });

  app.post('/api/users', express.json(), async (request, response) => {
    if (!isValid(request.body)) return refuse(response, 422, 'some fields are not valid');
    const user = await users.create(request.body);
    response.setHeader('Location', `/api/users/${user.id}`);
    return sendUser(response.status(201), user);
  });

  app.put('/api/users/:id', express.json(), async (request, response) => {
    if (!isValid(request.body)) return refuse(response, 422, 'some fields are not valid');
    const id = idOf(request);
    const user = await users.replace(id, request.body);
    if (user === undefined) return refuse(response, 404, 'there is no user with this id');
    cache.del(id);
    return sendUser(response, user);
  });
}

function idOf(request) {
  const id = Number(request.params.id);
  return Number.isSafeInteger(id) ? id : 0;
}

// Whether the schema would take it.
function isValid({ name, email, age } = {}) {
  return typeof name === 'string' && name.length >= 1 && name.length <= 100
    && typeof email === 'string' && email.includes('@')
    && Number.isInteger(age) && age >= 0 && age <= 150;
}

function sendUser(response, user) {
  const { body, etag } = finished(user);
  response.setHeader('ETag', etag);
  response.setHeader('Content-Type', JSON_TYPE);
  response.send(body);
}

function sendJson(response, value) {
  response.setHeader('Content-Type', JSON_TYPE);
  response.send(Buffer.from(JSON.stringify(value)));
}

function refuse(response, status, detail) {
  sendJson(response.status(status), { detail });
}

module.exports = { makeApp };
