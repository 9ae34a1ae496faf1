// A small service as docs/ingest.md starts it; `app.js NUMBER` sends one metric, trace and log with this number.
'use strict';

const http = require('node:http');
const { metrics, trace, SpanStatusCode } = require('@opentelemetry/api');
const express = require('express');
const logger = require('pino')();

const app = express();
app.get('/api/works/:id', (request, answer) => answer.send('done'));
app.get('/api/failing', () => { throw new Error('failed'); });
app.use((error, request, answer, next) => answer.status(500).send('failed'));

const get = (address) => new Promise((resolve) => {
  http.get(address, (answer) => answer.resume().on('end', () => resolve(answer.statusCode)))
    .on('error', (error) => resolve(error.code));
});

async function main(address, number, span) {
  for (const path of ['/api/works/12', '/api/failing', '/nowhere']) {
    logger.warn({ 'http.response.status_code': await get(address + path) }, 'a request was answered');
    await (await fetch(address + path)).text();
  }
  logger.error({ 'error.type': await get('http://127.0.0.1:1/refused') }, 'no connection');
  await fetch('http://127.0.0.1:1/refused').catch((error) => logger.error(error, 'no connection'));
  metrics.getMeter('work-api').createCounter('work_event.processed', { unit: '{event}' }).add(Number(number));
  logger.error(`work ${number} failed`);
  span.setStatus({ code: SpanStatusCode.ERROR }).end();
  console.log(`trace ${span.spanContext().traceId}`);
}

const server = app.listen(0, '127.0.0.1', () => {
  const [number, address] = [process.argv[2], `http://127.0.0.1:${server.address().port}`];
  trace.getTracer('work-api').startActiveSpan('work', { attributes: { 'work.id': number } }, async (span) => {
    await main(address, number, span);
    server.close();
    server.closeAllConnections();
    process.kill(process.pid, 'SIGTERM'); // as an orchestrator does: the SDK sends the rest
  });
});
