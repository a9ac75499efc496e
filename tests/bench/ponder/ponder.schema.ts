import { onchainTable } from "ponder";

export const events = onchainTable("events", (t) => ({
  id: t.text().primaryKey(),
  block: t.bigint().notNull(),
  timestamp: t.bigint().notNull(),
  tx: t.text().notNull(),
  name: t.text().notNull(),
  job: t.text(),
  args: t.text().notNull(),
}));
