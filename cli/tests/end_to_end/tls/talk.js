// Serves and asks `https://127.0.0.1:PORT/x` and, each fourth time, `/missing`, once the file `go` is there.
const fs = require('fs');
const https = require('https');
const [port, count] = process.argv.slice(2).map(Number);
const directory = process.env.DIRECTORY;

const key = fs.readFileSync(`${directory}/key.pem`);
const cert = fs.readFileSync(`${directory}/cert.pem`);
const server = https.createServer({ key, cert }, (request, answer) => {
  answer.statusCode = request.url === '/missing' ? 404 : 200;
  answer.end('hello');
});
const agent = new https.Agent({ keepAlive: true, maxSockets: 4, rejectUnauthorized: false });
const ask = (number) => new Promise((resolve, reject) => {
  const path = number % 4 === 0 ? '/missing' : '/x';
  https.get({ host: '127.0.0.1', port, path, agent }, (answer) => answer.resume().on('end', resolve)).on('error', reject);
});
const pause = () => new Promise((resolve) => setTimeout(resolve, 50));

server.listen(port, '127.0.0.1', async () => {
  while (!fs.existsSync(`${directory}/go`)) await pause();
  for (let number = 0; number < count; number += 4) {
    await Promise.all([0, 1, 2, 3].map((more) => ask(number + more)));
  }
  process.exit(0);
});
