// The class of every pixel of a picture, by a network that Segport exported.
//
//   infer NET.onnx PICTURE.ppm MASK.pgm
//
// NET.json, the manifest, lies beside NET.onnx. PICTURE is a binary PPM (P6, 8 bits: `magick photo.jpg photo.ppm`); decode
// other formats with a library of yours. MASK is a PGM of class indices, at the picture's size: the same as
// `segport predict` writes, to the pixel. Needs onnxruntime and nlohmann/json; see CMakeLists.txt.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <onnxruntime_cxx_api.h>

using Json = nlohmann::json;
using Bytes = std::vector<std::uint8_t>;
using Floats = std::vector<float>;

struct Size {
  std::size_t height, width;
  std::size_t pixels() const { return height * width; }
};

struct Picture {
  Size size;
  Bytes pixels;  // RGB, interleaved
};

std::ifstream open_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  return file;
}

std::size_t header_number(std::istream& file) {
  while ((file >> std::ws).peek() == '#') file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  std::size_t number = 0;
  file >> number;
  return number;
}

Picture read_ppm(const std::string& path) {
  std::ifstream file = open_file(path);
  char magic[2] = {};
  file.read(magic, 2);
  const std::size_t width = header_number(file), height = header_number(file), largest = header_number(file);
  file.get();
  if (!file || magic[0] != 'P' || magic[1] != '6' || largest != 255 || width == 0 || height == 0)
    throw std::runtime_error(path + ": not a binary PPM of 8 bits (P6)");
  if (width > 100000 || height > 100000) throw std::runtime_error(path + ": too large");
  Picture found{{height, width}, Bytes(3 * height * width)};
  if (!file.read(reinterpret_cast<char*>(found.pixels.data()), static_cast<std::streamsize>(found.pixels.size())))
    throw std::runtime_error(path + ": ends before its last pixel");
  return found;
}

// Pixels and weights of a triangle filter as wide as a step of the larger grid: Pillow's BILINEAR.
struct Taps {
  std::size_t first;
  std::vector<double> weights;
};

std::vector<Taps> taps(std::size_t from, std::size_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double reach = std::max(scale, 1.0);
  std::vector<Taps> found(to);
  for (std::size_t index = 0; index < to; ++index) {
    const double centre = (static_cast<double>(index) + 0.5) * scale;
    const int first = std::max(static_cast<int>(centre - reach + 0.5), 0);
    const int end = std::min(static_cast<int>(centre + reach + 0.5), static_cast<int>(from));
    double sum = 0;
    found[index].first = static_cast<std::size_t>(first);
    for (int at = first; at < end; ++at) {
      found[index].weights.push_back(std::max(0.0, 1.0 - std::abs((at - centre + 0.5) * (1.0 / reach))));
      sum += found[index].weights.back();
    }
    for (double& weight : found[index].weights) weight /= sum;
  }
  return found;
}

// Bytes are filtered in fixed point with 22 bits, floats in double precision, as Pillow does.
struct Fixed {
  using Sum = std::int32_t;
  static constexpr Sum start = 1 << 21;
  static Sum weight(double one) { return static_cast<Sum>(one * (1 << 22) + 0.5); }
  static std::uint8_t value(Sum sum) { return static_cast<std::uint8_t>(sum >> 22); }
};
struct Floating {
  using Sum = double;
  static constexpr Sum start = 0;
  static Sum weight(double one) { return one; }
  static float value(Sum sum) { return static_cast<float>(sum); }
};
template <typename Value> struct Arithmetic { using Type = Floating; };
template <> struct Arithmetic<std::uint8_t> { using Type = Fixed; };

// Filters `lines` lines; `line` and `step` are the distances between lines and between their pixels.
template <typename Value>
std::vector<Value> filter(const std::vector<Value>& source, const std::vector<Taps>& positions, std::size_t lines,
                          std::size_t line, std::size_t step, std::size_t new_line) {
  using Kind = typename Arithmetic<Value>::Type;
  std::vector<Value> found(lines * positions.size());
  for (std::size_t index = 0; index < positions.size(); ++index) {
    std::vector<typename Kind::Sum> weights;
    for (double weight : positions[index].weights) weights.push_back(Kind::weight(weight));
    for (std::size_t at = 0; at < lines; ++at) {
      typename Kind::Sum sum = Kind::start;
      for (std::size_t tap = 0; tap < weights.size(); ++tap)
        sum += source[at * line + (positions[index].first + tap) * step] * weights[tap];
      found[at * new_line + index * step] = Kind::value(sum);
    }
  }
  return found;
}

template <typename Value> std::vector<Value> across(std::vector<Value> plane, std::size_t rows, std::size_t from, std::size_t to) {
  return from == to ? plane : filter(plane, taps(from, to), rows, from, 1, to);
}

template <typename Value> std::vector<Value> down(std::vector<Value> plane, std::size_t columns, std::size_t from, std::size_t to) {
  return from == to ? plane : filter(plane, taps(from, to), columns, 1, columns, 1);
}

// As Pillow 13: rows before columns where the height shrinks by more than twice what the width does. (Pillow 12 always begins
// with columns.)
template <typename Value> std::vector<Value> resize(const std::vector<Value>& plane, Size from, Size to) {
  const auto less = [](std::size_t before, std::size_t after) { return static_cast<long>(before) - static_cast<long>(after); };
  if (to.height < from.height && less(from.height, to.height) > 2 * less(from.width, to.width))
    return across(down(plane, from.width, from.height, to.height), to.height, from.width, to.width);
  return down(across(plane, from.height, from.width, to.width), to.width, from.height, to.height);
}

std::vector<std::size_t> nearest(std::size_t from, std::size_t to) {
  const double step = static_cast<double>(from) / static_cast<double>(to);
  std::vector<std::size_t> found;
  double at = step * 0.5;
  for (std::size_t index = 0; index < to; ++index, at += step) found.push_back(static_cast<std::size_t>(at));
  return found;
}

std::vector<Bytes> planes_of(const Picture& picture, const std::string& colour_order) {
  const std::size_t length = picture.size.pixels();
  std::vector<Bytes> planes(colour_order == "L" ? 1 : 3, Bytes(length));
  for (std::size_t index = 0; index < length; ++index) {
    const std::uint8_t* rgb = &picture.pixels[3 * index];
    if (planes.size() == 1)
      planes[0][index] = static_cast<std::uint8_t>((19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2] + 32768) >> 16);
    else
      for (std::size_t channel = 0; channel < 3; ++channel) planes[channel][index] = rgb[channel];
  }
  return planes;
}

Size network_size(const Json& manifest) {
  const Json& shape = manifest["input"]["shape"];
  const Json& free = manifest["macs_shape"];
  return {(shape[2].is_null() ? free[1] : shape[2]).get<std::size_t>(), (shape[3].is_null() ? free[2] : shape[3]).get<std::size_t>()};
}

// Network input, (N, C, height, width); a fixed batch is filled with copies.
Floats prepare(const Json& manifest, const Picture& picture) {
  const Json& input = manifest["input"];
  const std::string order = input["colour_order"];
  if ((order != "RGB" && order != "L") || input["dtype"] != "float32")
    throw std::runtime_error("the network takes " + order + " as " + input["dtype"].get<std::string>() + "; this program prepares RGB and L as float32");
  Floats found;
  const std::vector<Bytes> planes = planes_of(picture, order);
  for (std::size_t channel = 0; channel < planes.size(); ++channel) {
    const float deviation = static_cast<float>(input["std"][channel].get<double>());
    const float shift = static_cast<float>(input["mean"][channel].get<double>()) / deviation;
    const float scale = static_cast<float>(1.0 / 255) / deviation;
    for (std::uint8_t pixel : resize(planes[channel], picture.size, network_size(manifest)))
      found.push_back(static_cast<float>(pixel) * scale - shift);
  }
  const std::size_t batch = input["shape"][0].is_null() ? 1 : input["shape"][0].get<std::size_t>(), one = found.size();
  for (std::size_t copy = 1; copy < batch; ++copy) found.insert(found.end(), found.begin(), found.begin() + static_cast<long>(one));
  return found;
}

// Index of the largest logit of each pixel at `size`; the first wins a tie, NaN never.
Bytes classes_of_logits(const float* logits, std::size_t count, Size from, Size size) {
  Bytes classes(size.pixels(), 0);
  Floats best(size.pixels(), -std::numeric_limits<float>::infinity());
  for (std::size_t index = 0; index < count; ++index) {
    const float* start = logits + index * from.pixels();
    const Floats plane = resize(Floats(start, start + from.pixels()), from, size);
    for (std::size_t at = 0; at < plane.size(); ++at)
      if (plane[at] > best[at]) {
        best[at] = plane[at];
        classes[at] = static_cast<std::uint8_t>(index);
      }
  }
  return classes;
}

template <typename Value> Bytes classes_of_mask(const Value* mask, Size from, Size size) {
  Bytes classes;
  const std::vector<std::size_t> columns = nearest(from.width, size.width);
  for (std::size_t row : nearest(from.height, size.height))
    for (std::size_t column : columns) classes.push_back(static_cast<std::uint8_t>(mask[row * from.width + column]));
  return classes;
}

Bytes classes(const Ort::Value& output, Size size) {
  const auto info = output.GetTensorTypeAndShapeInfo();
  const std::vector<std::int64_t> shape = info.GetShape();
  const Size from{static_cast<std::size_t>(shape[shape.size() - 2]), static_cast<std::size_t>(shape.back())};
  switch (info.GetElementType()) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      return classes_of_logits(output.GetTensorData<float>(), static_cast<std::size_t>(shape[1]), from, size);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return classes_of_mask(output.GetTensorData<std::uint8_t>(), from, size);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return classes_of_mask(output.GetTensorData<std::int32_t>(), from, size);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
      return classes_of_mask(output.GetTensorData<std::int64_t>(), from, size);
    default:
      throw std::runtime_error("the network's output is of a type that this program does not read");
  }
}

void run(const std::string& model, const std::string& picture_file, const std::string& target) {
  std::ifstream manifest_file = open_file(model.substr(0, model.rfind('.')) + ".json");
  const Json manifest = Json::parse(manifest_file);
  const Picture picture = read_ppm(picture_file);
  Floats data = prepare(manifest, picture);
  const Size size = network_size(manifest);
  const std::size_t channels = manifest["input"]["mean"].size();
  const std::vector<std::int64_t> shape{
      static_cast<std::int64_t>(data.size() / (channels * size.pixels())), static_cast<std::int64_t>(channels),
      static_cast<std::int64_t>(size.height), static_cast<std::int64_t>(size.width)};

  Ort::Env env;
  Ort::SessionOptions options;
  // without VNNI, onnxruntime's products of u8 and s8 saturate unless it is told to be exact
  options.AddConfigEntry("session.x64quantprecision", "1");
  Ort::Session session(env, model.c_str(), options);
  const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const Ort::Value input = Ort::Value::CreateTensor<float>(memory, data.data(), data.size(), shape.data(), shape.size());
  const Json& outputs = manifest["outputs"];
  const auto logits = std::find_if(outputs.begin(), outputs.end(), [](const Json& one) { return one["kind"] == "logits"; });
  const std::string output_name = (logits == outputs.end() ? outputs[0] : *logits)["name"], input_name = manifest["input"]["name"];
  const char *in = input_name.c_str(), *out = output_name.c_str();
  const auto found = session.Run(Ort::RunOptions{}, &in, &input, 1, &out, 1);

  const Bytes mask = classes(found[0], picture.size);
  std::ofstream file(target, std::ios::binary);
  file << "P5\n" << picture.size.width << " " << picture.size.height << "\n255\n";
  file.write(reinterpret_cast<const char*>(mask.data()), static_cast<std::streamsize>(mask.size()));
  if (!file.flush()) throw std::runtime_error(target + ": cannot be written");
}

int main(int count, char** arguments) {
  if (count != 4) {
    std::cerr << "usage: infer NET.onnx PICTURE.ppm MASK.pgm\n";
    return 2;
  }
  try {
    run(arguments[1], arguments[2], arguments[3]);
  } catch (const std::exception& error) {
    std::cerr << "infer: " << error.what() << "\n";
    return 2;
  }
  return 0;
}
