// A small service as docs/ingest.md starts it: HTTP server and clients, and a logger, instrumented without a line of its own.
'use strict';

const http = require('node:http');
const express = require('express');
const logger = require('pino')();

const app = express();
app.get('/api/works/:id', (request, answer) => answer.send('done'));
app.get('/api/failing', () => { throw new Error('failed'); });
app.use((error, request, answer, next) => answer.status(500).send('failed'));

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const get = (address) => new Promise((resolve) => {
  http.get(address, (answer) => answer.resume().on('end', () => resolve(answer.statusCode)))
    .on('error', (error) => resolve(error.code));
});

async function main(address) {
  for (let round = 0; round < 5; round++) {
    for (const path of ['/api/works/12', '/api/failing', '/nowhere']) {
      logger.warn({ 'http.response.status_code': await get(address + path) }, 'a request was answered');
      await (await fetch(address + path)).text();
    }
    logger.error({ 'error.type': await get('http://127.0.0.1:1/refused') }, 'no connection');
    await fetch('http://127.0.0.1:1/refused').catch((error) => logger.error(error, 'no connection'));
    await pause(500);
  }
}

const server = app.listen(0, '127.0.0.1', async () => {
  await main(`http://127.0.0.1:${server.address().port}`);
  server.close();
  server.closeAllConnections();
  process.kill(process.pid, 'SIGTERM'); // as an orchestrator does: the SDK sends the rest
});
