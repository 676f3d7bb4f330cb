/*
 * Calls a DICOMweb service with dicomweb-client for JavaScript and prints the answers as one line of JSON.
 *
 * node javascript_client.js URL STUDY SERIES INSTANCE [MEDIA_TYPE TRANSFER_SYNTAX] < FILE
 * node javascript_client.js URL STUDY SERIES INSTANCE pictures < FILE
 *
 * FILE is the instance to store. Its frames are retrieved in this media type and transfer syntax, or in the default of
 * the client. NODE_PATH is the folder of the packages. Bytes are printed as base64.
 */
"use strict";

const fs = require("node:fs");

/* The part of XMLHttpRequest that dicomweb-client uses. Node has only fetch. */
class Request {
  constructor() {
    this.headers = {};
    this.readyState = 0;
    this.status = 0;
  }

  open(method, url) {
    this.method = method.toUpperCase();
    this.url = url;
  }

  setRequestHeader(name, value) {
    this.headers[name] = value;
  }

  getResponseHeader(name) {
    return this.answered.get(name);
  }

  getAllResponseHeaders() {
    return [...this.answered].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  }

  async send(body) {
    const answer = await fetch(this.url, { method: this.method, headers: this.headers, body });
    const bytes = await answer.arrayBuffer();
    this.answered = answer.headers;
    this.status = answer.status;
    this.response = this.responseType === "arraybuffer" ? bytes : new TextDecoder().decode(bytes);
    if (this.responseType === "json") {
      this.response = this.response ? JSON.parse(this.response) : null;
    }
    this.readyState = 4;
    this.onreadystatechange();
  }
}

globalThis.XMLHttpRequest = Request;
console.debug = () => {}; // the answer is the only line
const { api } = require("dicomweb-client");

const base64 = (buffer) => Buffer.from(buffer).toString("base64");

const picture = ([buffer]) => base64(buffer);

/* The picture of the instance and of frame 2, and their thumbnails. */
async function pictures(client, uids) {
  const frame = { ...uids, frameNumbers: [2] };
  const png = [{ mediaType: "image/png" }];
  const queryParams = { viewport: "30,20", windowCenter: 128, windowWidth: 256 };
  return {
    rendered: picture(await client.retrieveInstanceRendered({ ...uids, mediaTypes: png })),
    scaled: picture(await client.retrieveInstanceRendered({ ...uids, mediaTypes: png, queryParams })),
    frame: picture(await client.retrieveInstanceFramesRendered({ ...frame, mediaTypes: png })),
    thumbnail: picture(await client.retrieveInstanceThumbnail(uids)),
    frameThumbnail: picture(await client.retrieveInstanceFramesThumbnail(frame)),
  };
}

async function main(url, studyInstanceUID, seriesInstanceUID, sopInstanceUID, mediaType, transferSyntaxUID) {
  const client = new api.DICOMwebClient({ url });
  const file = Uint8Array.from(fs.readFileSync(0));
  const uids = { studyInstanceUID, seriesInstanceUID, sopInstanceUID };
  const mediaTypes = mediaType && [{ mediaType, transferSyntaxUID }];

  if (mediaType === "pictures") {
    await client.storeInstances({ datasets: [file.buffer] });
    console.log(JSON.stringify(await pictures(client, uids)));
    return;
  }
  const stored = await client.storeInstances({ datasets: [file.buffer] });
  const result = {
    stored: JSON.parse(stored),
    studies: await client.searchForStudies({ queryParams: { PatientID: "P1" } }),
    none: await client.searchForStudies({ queryParams: { PatientID: "P2" } }),
    series: await client.searchForSeries({ studyInstanceUID }),
    instances: await client.searchForInstances({ studyInstanceUID, seriesInstanceUID }),
    metadata: await client.retrieveInstanceMetadata(uids),
    instance: base64(await client.retrieveInstance(uids)),
    study: (await client.retrieveStudy({ studyInstanceUID })).map(base64),
    frames: (await client.retrieveInstanceFrames({ ...uids, frameNumbers: [2, 1], mediaTypes })).map(base64),
  };
  console.log(JSON.stringify(result));
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.status, error);
  process.exit(1);
});
