/** The status page: what /healthz and the list of jobs say, every two seconds. */

const health = document.getElementById("health");
const rows = document.getElementById("jobs");

const seconds = (job) => {
  if (!job.started_at) return "";
  const end = job.completed_at ? new Date(job.completed_at) : new Date();
  return ((end - new Date(job.started_at)) / 1000).toFixed(1);
};

const row = (job) => {
  const line = document.createElement("tr");
  const link = document.createElement("a");
  link.href = `api/v2/jobs/${job.id}`;
  link.textContent = job.id.slice(0, 8);
  const created = new Date(job.created_at).toLocaleString();
  for (const cell of [link, job.status, String(job.attempt), created, seconds(job)]) {
    line.insertCell().append(cell);
  }
  return line;
};

async function look() {
  try {
    const [well, page] = await Promise.all(
      ["healthz", "api/v2/jobs?limit=25"].map(async (path) => (await fetch(path)).json()),
    );
    const jobs = Object.entries(well.jobs).map(([status, many]) => `${many} ${status}`);
    health.textContent = `${well.ready} of ${well.workers} workers run, ${well.busy} busy. Jobs: ${jobs.join(", ") || "none"}.`;
    rows.replaceChildren(...page.jobs.map(row));
  } catch {
    health.textContent = "The service does not answer.";
  }
}

look();
setInterval(look, 2000);
