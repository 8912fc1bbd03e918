// Requests to the service that this page came from. An answer that is not wanted any more is dropped.

export class ServiceError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status; // 0: the service did not answer
  }
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { headers: { Accept: "application/json" }, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("The service does not answer.", 0);
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new ServiceError(answer?.error?.message ?? `The service answered ${response.status}.`, response.status);
  return answer;
}

function post(path, values, signal) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  return request(path, { method: "POST", headers, body: JSON.stringify(values), signal });
}

export const search = (values, signal) => post("search", values, signal);
export const placeOnMap = (values, signal) => post("map", values, signal);
export const listIndexes = () => request("indexes");
export const describeIndex = (name) => request(`indexes/${encodeURIComponent(name)}`);
export const isAlive = () => request("health").then(() => true, () => false);
export const getDocument = (docId, index, signal) =>
  request(`documents?${new URLSearchParams({ doc_id: docId, source: "true", index })}`, { signal });
