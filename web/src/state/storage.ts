// What the browser keeps. Drafts and unanswered messages live as long as the tab; taste (theme, last
// session, chosen model) lives longer. A full or forbidden storage loses comfort, never function.

const PREFIX = "oqto.";

function read(area: () => Storage, key: string): string | null {
  try {
    return area().getItem(PREFIX + key);
  } catch {
    return null;
  }
}

function write(area: () => Storage, key: string, value: string | null): boolean {
  try {
    if (value === null || value === "") area().removeItem(PREFIX + key);
    else area().setItem(PREFIX + key, value);
    return true;
  } catch {
    return false;
  }
}

const tab = () => sessionStorage;
const lasting = () => localStorage;

export const tabStore = {
  get: (key: string) => read(tab, key),
  set: (key: string, value: string | null) => write(tab, key, value),
  clear: () => {
    try {
      for (const key of Object.keys(sessionStorage)) {
        if (key.startsWith(PREFIX)) sessionStorage.removeItem(key);
      }
    } catch {
      // Nothing was stored, then.
    }
  },
};

export const lastingStore = {
  get: (key: string) => read(lasting, key),
  set: (key: string, value: string | null) => write(lasting, key, value),
};
