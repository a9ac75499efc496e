// Data files: safetensors with x (float32) and y (int64 or float32), rows first. The same rules, and the same bytes
// written, as heldout.market.weights; tests/vectors/sealing.json holds both to it.

import { Bytes, concat, littleEndian, utf8 } from "../bytes";
import { tr } from "../words";

export interface Tensor {
  dtype: string;
  shape: number[];
  data: Bytes;
}
export type Table = { x: Tensor; y: Tensor };

const ITEM: Record<string, number> = { F32: 4, I64: 8 };
const MOST_HEADER = 1 << 20;

class BadData extends Error {}

const bad = (why: string): never => {
  throw new BadData(tr`the data cannot be read: ${why}`);
};

export const rowsOf = (table: Table): number => table.x.shape[0];

const itemsOf = (shape: number[]): number => shape.reduce((product, size) => product * size, 1);

export function rowSize(tensor: Tensor): number {
  return itemsOf(tensor.shape.slice(1)) * ITEM[tensor.dtype];
}

export function read(file: Bytes): Table {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = file.length < 8 ? 0 : Number(view.getBigUint64(0, true));
  if (length < 2 || length > MOST_HEADER || 8 + length > file.length) bad(tr("this is no safetensors file"));
  let header: Record<string, unknown> = {};
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(file.subarray(8, 8 + length)));
  } catch {
    bad(tr("its header is no JSON"));
  }
  delete header.__metadata__;
  if (Object.keys(header).sort().join() !== "x,y") bad(tr("a data file holds exactly x (float32) and y"));
  const table = { x: tensor(header.x, file.subarray(8 + length)), y: tensor(header.y, file.subarray(8 + length)) };
  const whole = table.x.data.length + table.y.data.length;
  if (whole !== file.length - 8 - length) bad(tr("its tensors do not fill it"));
  if (table.x.dtype !== "F32") bad(tr("x must be float32"));
  if (!table.x.shape.length || !table.y.shape.length || table.x.shape[0] !== table.y.shape[0])
    bad(tr("x and y must have the same number of rows, rows first"));
  return table;
}

function tensor(entry: unknown, body: Bytes): Tensor {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, any>;
  const sizes = (list: unknown): list is number[] =>
    Array.isArray(list) && list.every((size) => Number.isSafeInteger(size) && size >= 0);
  if (!(dtype in ITEM)) bad(tr`a type other than ${Object.keys(ITEM).join(" and ")}`);
  if (!sizes(shape) || shape.length > 8 || !sizes(offsets) || offsets.length !== 2) bad(tr("a shape or offsets"));
  const [begin, end] = offsets;
  if (end - begin !== itemsOf(shape) * ITEM[dtype] || end > body.length) bad(tr("a tensor's size is not its shape's"));
  return { dtype, shape, data: body.slice(begin, end) };
}

export function join(tables: Table[]): Table {
  const kind = (t: Tensor) => `${t.dtype} ${t.shape.slice(1)}`;
  if (!tables.length) bad(tr("there is no data file"));
  const one = (name: "x" | "y"): Tensor => {
    const parts = tables.map((table) => table[name]);
    if (parts.some((part) => kind(part) !== kind(parts[0])))
      bad(tr("files differ in the shape of a row or the type of y"));
    const rows = parts.reduce((sum, part) => sum + part.shape[0], 0);
    const shape = [rows, ...parts[0].shape.slice(1)];
    return { dtype: parts[0].dtype, shape, data: concat(...parts.map((part) => part.data)) };
  };
  return { x: one("x"), y: one("y") };
}

export function row(tensor: Tensor, index: number): Bytes {
  const size = rowSize(tensor);
  return tensor.data.subarray(index * size, (index + 1) * size);
}

export function take(table: Table, rows: number[]): Table {
  const of = (t: Tensor): Tensor => ({
    dtype: t.dtype,
    shape: [rows.length, ...t.shape.slice(1)],
    data: concat(...rows.map((index) => row(t, index))),
  });
  return { x: of(table.x), y: of(table.y) };
}

export function encode(table: Table): Bytes {
  const middle = table.x.data.length;
  const header = JSON.stringify({
    x: { dtype: table.x.dtype, shape: table.x.shape, data_offsets: [0, middle] },
    y: { dtype: table.y.dtype, shape: table.y.shape, data_offsets: [middle, middle + table.y.data.length] },
  });
  const text = header.padEnd(Math.ceil(header.length / 8) * 8);
  return concat(littleEndian(text.length, 8), utf8(text), table.x.data, table.y.data);
}
