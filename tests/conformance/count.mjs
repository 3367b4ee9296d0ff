// Counts the checks that runs of the suite left behind, and names those that failed.
// Usage: node count.mjs NAME FOLDER
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const [name, folder] = process.argv.slice(2);
// A scenario that the revision does not have leaves an empty folder.
const runs = readdirSync(folder).sort().filter((run) => existsSync(join(folder, run, "checks.json")));
const counts = { SUCCESS: 0, FAILURE: 0, WARNING: 0, SKIPPED: 0 };
const failed = [];
for (const run of runs) {
  const scenario = run.replace(/^server-/, "").replace(/-\d{4}-\d\d-\d\dT.*$/, "");
  for (const check of JSON.parse(readFileSync(join(folder, run, "checks.json"), "utf8"))) {
    if (check.status in counts) counts[check.status] += 1;
    if (check.status === "FAILURE" || check.status === "WARNING") {
      failed.push(`  ${check.status.toLowerCase()} ${scenario}:${check.id}: ${check.errorMessage ?? check.description}`);
    }
  }
}
for (const line of failed) console.log(line);
const judged = counts.SUCCESS + counts.FAILURE;
console.log(
  `${name}: ${counts.SUCCESS} of ${judged} checks passed, ${counts.FAILURE} failed, ` +
    `${counts.WARNING} warnings, ${counts.SKIPPED} skipped, in ${runs.length} scenarios`,
);
