/** Runs beside the audio: hands on what the microphone gives, one channel, in blocks. */

const BLOCK = 2048;

class RecorderWorklet extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(BLOCK);
    this.filled = 0;
    this.port.onmessage = () => this.flush(true); // whatever comes, it means: that was all
  }

  process([channels]) {
    const count = channels.length ? channels[0].length : 0;
    for (let i = 0; i < count; i += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.block[this.filled++] = sum / channels.length;
      if (this.filled === BLOCK) this.flush(false);
    }
    return true;
  }

  flush(isLast) {
    this.port.postMessage({ samples: this.block.slice(0, this.filled), isLast });
    this.filled = 0;
  }
}

registerProcessor("recorder", RecorderWorklet);
