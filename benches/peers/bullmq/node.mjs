// A node of BullMQ: `fill due|far|long N`, `work FOLDER INDEX`, `work-long FOLDER INDEX`. Which Redis, and how: REDIS_URL,
// CONCURRENCY, TIGHT=1 for locks of one second that are looked at each second.
import { Queue, Worker } from 'bullmq';
import { existsSync, openSync, writeFileSync, writeSync } from 'node:fs';

const url = new URL(process.env.REDIS_URL);
const connection = { host: url.hostname, port: Number(url.port), maxRetriesPerRequest: null };
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const micros = () => Math.round((performance.timeOrigin + performance.now()) * 1000);

async function fill(what, count) {
  const queue = new Queue('bench', { connection });
  const opts = { removeOnComplete: true, ...(what === 'far' && { delay: 3_600_000 }) };
  const single = what === 'due' ? Math.min(count / 2, 2000) : 0;
  let begin = process.hrtime.bigint();
  const seconds = () => Number(process.hrtime.bigint() - begin) / 1e9;
  for (let n = 0; n < single; n++) await queue.add('work', { n }, { ...opts, jobId: `j${n}` });
  const one = single > 0 ? single / seconds() : null;
  begin = process.hrtime.bigint();
  for (let n = single; n < count; n += 1000) {
    const part = [];
    for (let k = n; k < Math.min(count, n + 1000); k++) part.push({ name: 'work', data: { n: k }, opts: { ...opts, jobId: `j${k}` } });
    await queue.addBulk(part);
  }
  console.log(JSON.stringify({ one_per_s: one, bulk_per_s: (count - single) / seconds() }));
  process.exit(0);
}

async function work(folder, index, long) {
  const runs = [];
  const begun = openSync(`${folder}/begun.${index}`, 'w');
  const run = async (job) => {
    if (!long) return void runs.push(job.data.n);
    writeSync(begun, `${job.data.n} ${micros()}\n`);
    await sleep(600_000);
  };
  const tight = process.env.TIGHT === '1' && { lockDuration: 1000, stalledInterval: 1000 };
  const concurrency = Number(process.env.CONCURRENCY ?? 1);
  const worker = new Worker('bench', run, { connection, autorun: false, concurrency, ...tight });
  await worker.waitUntilReady();
  worker.on('error', (error) => console.error(String(error)));
  writeFileSync(`${folder}/ready.${index}`, '');
  while (!existsSync(`${folder}/go`)) await sleep(1);
  worker.run();
  let last = -1;
  while (!existsSync(`${folder}/stop`)) {
    if (runs.length !== last) writeFileSync(`${folder}/count.${index}`, String((last = runs.length)));
    await sleep(Number(process.env.POLL ?? 5));
  }
  writeFileSync(`${folder}/runs.${index}`, runs.map((n) => `${n}\n`).join(''));
  process.exit(0);
}

const [command, ...words] = process.argv.slice(2);
if (command === 'fill') await fill(words[0], Number(words[1]));
if (command === 'work') await work(words[0], words[1], false);
if (command === 'work-long') await work(words[0], words[1], true);
