// A node of BullMQ: `fill N` or `work FOLDER INDEX`. Which Redis, and how: REDIS_URL and CONCURRENCY.
import { Queue, Worker } from 'bullmq';
import { existsSync, writeFileSync } from 'node:fs';

const url = new URL(process.env.REDIS_URL);
const connection = { host: url.hostname, port: Number(url.port), maxRetriesPerRequest: null };
const opts = { removeOnComplete: true };
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function fill(count) {
  const queue = new Queue('bench', { connection });
  const single = Math.min(count / 2, 2000);
  let begin = process.hrtime.bigint();
  const seconds = () => Number(process.hrtime.bigint() - begin) / 1e9;
  for (let n = 0; n < single; n++) await queue.add('work', { n }, { ...opts, jobId: `j${n}` });
  const one = single / seconds();
  begin = process.hrtime.bigint();
  for (let n = single; n < count; n += 1000) {
    const part = [];
    for (let k = n; k < Math.min(count, n + 1000); k++) part.push({ name: 'work', data: { n: k }, opts: { ...opts, jobId: `j${k}` } });
    await queue.addBulk(part);
  }
  console.log(JSON.stringify({ one_per_s: one, bulk_per_s: (count - single) / seconds() }));
  process.exit(0);
}

async function work(folder, index) {
  const runs = [];
  const concurrency = Number(process.env.CONCURRENCY ?? 1);
  const worker = new Worker('bench', async (job) => { runs.push(job.data.n); }, { connection, autorun: false, concurrency });
  await worker.waitUntilReady();
  worker.on('error', (error) => console.error(String(error)));
  writeFileSync(`${folder}/ready.${index}`, '');
  while (!existsSync(`${folder}/go`)) await sleep(1);
  worker.run();
  let last = -1;
  while (!existsSync(`${folder}/stop`)) {
    if (runs.length !== last) writeFileSync(`${folder}/count.${index}`, String((last = runs.length)));
    await sleep(5);
  }
  writeFileSync(`${folder}/runs.${index}`, runs.map((n) => `${n}\n`).join(''));
  process.exit(0);
}

const [command, ...words] = process.argv.slice(2);
if (command === 'fill') await fill(Number(words[0]));
if (command === 'work') await work(words[0], words[1]);
