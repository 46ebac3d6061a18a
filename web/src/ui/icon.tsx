// Line icons on a 16 px grid. Decoration only: whatever has an icon also has words.

const PATHS = {
  plus: "M8 3v10M3 8h10",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.8 10.8 14 14",
  chevron: "m4 6 4 4 4-4",
  right: "m6 4 4 4-4 4",
  menu: "M2.5 4h11M2.5 8h11M2.5 12h11",
  close: "m4 4 8 8M12 4l-8 8",
  send: "M8 13V3M3.5 7.5 8 3l4.5 4.5",
  stop: "M4.5 4.5h7v7h-7z",
  copy: "M6 6h7.5v7.5H6zM10 6V2.5H2.5V10H6",
  check: "m3 8.5 3.5 3.5L13 4.5",
  cross: "m4.5 4.5 7 7M11.5 4.5l-7 7",
  more: "M3 8h.01M8 8h.01M13 8h.01",
  terminal: "m3 4.5 3.5 3.5L3 11.5M8.5 12H13",
  file: "M9.5 2H4v12h8V4.5zM9.5 2v2.5H12",
  pencil: "m10.5 3 2.5 2.5L5.5 13 2.5 13.5 3 10.5z",
  eye: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8zM8 9.8a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6z",
  folder: "M2 4h4l1.5 1.5H14V12.5H2z",
  tool: "M9.5 6.5 3 13M9 3.5a3.2 3.2 0 0 1 4 4L11 8 8 5z",
  shield: "M8 2 3 4v3.8c0 3 2.1 5.2 5 6.2 2.9-1 5-3.2 5-6.2V4z",
  thought: "M5 12.5h6M6 14.5h4M8 1.5a4.5 4.5 0 0 0-2.5 8.2V11h5V9.7A4.5 4.5 0 0 0 8 1.5z",
  warning: "M8 2.5 14.5 13.5h-13zM8 6.5v3.2M8 11.6v.1",
  down: "M8 3v10M3.5 8.5 8 13l4.5-4.5",
  user: "M8 8a2.8 2.8 0 1 0 0-5.6A2.8 2.8 0 0 0 8 8zM2.8 13.6c.6-2.4 2.7-3.8 5.2-3.8s4.6 1.4 5.2 3.8",
  command: "M5.5 5.5h5v5h-5zM5.5 5.5H4A1.5 1.5 0 1 1 5.5 4zM10.5 5.5V4A1.5 1.5 0 1 1 12 5.5zM10.5 10.5H12a1.5 1.5 0 1 1-1.5 1.5zM5.5 10.5V12A1.5 1.5 0 1 1 4 10.5z",
  spark: "M8 2v3.5M8 10.5V14M2 8h3.5M10.5 8H14M4 4l2 2M10 10l2 2M12 4l-2 2M6 10l-2 2",
  retry: "M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3",
  image: "M2.5 3h11v10h-11zM2.5 11l3.5-3.5 3 3 1.5-1.5 3 3M10.5 6h.01",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" data-icon={name} viewBox="0 0 16 16" width={size} height={size} aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Mark({ size = 24 }: { size?: number }) {
  return (
    <svg class="mark" viewBox="0 0 32 32" width={size} height={size} aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" />
      <path d="M16 6.5 24.2 11.2v9.6L16 25.5 7.8 20.8v-9.6z" />
      <circle cx="16" cy="16" r="3.4" />
    </svg>
  );
}
