import { Hono } from "hono";
import { count } from "ponder";
import { db } from "ponder:api";
import { events } from "ponder:schema";

export default new Hono().get("/count", async (c) => c.json(await db.select({ events: count() }).from(events)));
