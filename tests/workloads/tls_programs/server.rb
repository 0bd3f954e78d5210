# Ruby's WEBrick over TLS; tells each request that it answered as a line of JSON.
#
#     server.rb PORT CERT KEY
#
# Query parameters choose the answer, as server.py has them.
require "json"
require "webrick"
require "webrick/https"

port, certificate, key = ARGV
$stdout.sync = true

class Truth < WEBrick::HTTPServlet::AbstractServlet
  def service(request, response)
    received = request.body ? request.body.bytesize : 0
    status = (request.query_parameters["status"] || 200).to_i
    size = (request.query_parameters["size"] || 5).to_i
    bodiless = [204, 304].include?(status)
    response.status = status
    response.chunked = true if request.query_parameters.key?("chunked")
    sent = bodiless || request.request_method == "HEAD" ? 0 : size
    response.body = "x" * size unless bodiless
    # WEBrick has no hook after the answer; this one line of one write comes just before it.
    $stdout.write(JSON.generate(
      method: request.request_method, target: request.unparsed_uri, status: status,
      request_body: received, response_body: sent
    ) + "\n")
  end
end

class WEBrick::HTTPRequest
  def query_parameters
    (query_string || "").split("&").to_h { |pair| pair.split("=", 2) }
  end
end

server = WEBrick::HTTPServer.new(
  BindAddress: "127.0.0.1", Port: port.to_i, AccessLog: [], SSLEnable: true,
  Logger: WEBrick::Log.new($stderr, WEBrick::Log::WARN),
  SSLCertificate: OpenSSL::X509::Certificate.new(File.read(certificate)),
  SSLPrivateKey: OpenSSL::PKey.read(File.read(key)),
  StartCallback: -> { puts "listening" }
)
server.mount("/", Truth)
trap("TERM") { exit!(0) }
server.start
