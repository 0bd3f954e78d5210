# The shop's shipping, in Ruby under puma: each thread has a connection to Redis of its own, and
# speaks RESP itself.
require "socket"

REDIS = Integer(ENV.fetch("REDIS"))

def redis(*words)
  kept = Thread.current.thread_variable_get(:redis)
  unless kept
    kept = TCPSocket.new("127.0.0.1", REDIS)
    Thread.current.thread_variable_set(:redis, kept)
  end
  kept.write("*#{words.size}\r\n" + words.map { |word| "$#{word.bytesize}\r\n#{word}\r\n" }.join)
  kept.gets
end

run lambda { |env|
  redis("INCR", "shipped")
  [200, { "Content-Type" => "text/plain" }, ["shipped\n"]]
}
