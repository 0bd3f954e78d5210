# Ruby's net/http over TLS: each line of standard input is a request, METHOD URL BODY_BYTES; each
# answer becomes a line of JSON. One connection for all, as long as the server keeps it.
require "json"
require "net/http"
require "openssl"

$stdout.sync = true
connection = nil
puts "ready"
$stdin.each_line do |line|
  method, url, size = line.split
  uri = URI(url)
  unless connection
    connection = Net::HTTP.new(uri.host, uri.port)
    connection.use_ssl = true
    connection.ca_file = ENV.fetch("TRUSTED")
    connection.keep_alive_timeout = 60
    connection.start
  end
  body = size.to_i.positive? ? "y" * size.to_i : nil
  headers = { "Accept-Encoding" => "identity", "Content-Type" => "text/plain" }
  request = Net::HTTPGenericRequest.new(method, !body.nil?, method != "HEAD", uri, headers)
  request.body = body if body
  answer = connection.request(request)
  puts JSON.generate(
    method: method, target: uri.request_uri, status: answer.code.to_i,
    request_body: size.to_i, response_body: (answer.body || "").bytesize
  )
end
