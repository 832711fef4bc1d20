// @ts-check
/**
 * Draws a BlurHash. Written after the description of the format in woltapp/blurhash
 * (Algorithm.md, MIT licence): a sum of cosines, its factors in base 83.
 */

const DIGITS =
  "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

/**
 * Fills a canvas, whatever its size; false if the text is not a BlurHash.
 * @param {HTMLCanvasElement} canvas
 * @param {string} hash
 */
export function drawBlurhash(canvas, hash) {
  const context = canvas.getContext("2d");
  const waves = factors(hash);
  if (!context || !waves) return false;
  const { width, height } = canvas;
  const image = context.createImageData(width, height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const colour = [0, 0, 0];
      for (const { across, down, factor } of waves) {
        const weight =
          Math.cos((Math.PI * x * across) / width) * Math.cos((Math.PI * y * down) / height);
        for (let channel = 0; channel < 3; channel += 1) {
          colour[channel] += factor[channel] * weight;
        }
      }
      image.data.set([...colour.map(toSrgb), 255], 4 * (y * width + x));
    }
  }
  context.putImageData(image, 0, 0);
  return true;
}

/** @param {string} hash */
function factors(hash) {
  const digits = [...hash].map((character) => DIGITS.indexOf(character));
  if (digits.length < 6 || digits.includes(-1)) return null;
  const across = (digits[0] % 9) + 1;
  const down = Math.floor(digits[0] / 9) + 1;
  if (digits.length !== 4 + 2 * across * down) return null;
  const peak = (digits[1] + 1) / 166;
  const mean = number(digits, 2, 4);
  return Array.from({ length: across * down }, (_, index) => ({
    across: index % across,
    down: Math.floor(index / across),
    factor:
      index === 0
        ? [mean >> 16, (mean >> 8) & 255, mean & 255].map(toLinear)
        : levels(number(digits, 4 + 2 * index, 2)).map((level) => signedSquare(level) * peak),
  }));
}

/**
 * @param {number[]} digits
 * @param {number} start
 * @param {number} length
 */
const number = (digits, start, length) =>
  digits.slice(start, start + length).reduce((value, digit) => value * 83 + digit, 0);

/** @param {number} value */
const levels = (value) =>
  [Math.floor(value / 361), Math.floor(value / 19) % 19, value % 19].map(
    (level) => (level - 9) / 9,
  );

/** @param {number} value */
const signedSquare = (value) => Math.sign(value) * value * value;

/** @param {number} byte */
function toLinear(byte) {
  const value = byte / 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

/** @param {number} linear */
function toSrgb(linear) {
  const value = Math.max(0, Math.min(1, linear));
  const srgb = value <= 0.0031308 ? value * 12.92 : 1.055 * value ** (1 / 2.4) - 0.055;
  return Math.round(srgb * 255);
}
