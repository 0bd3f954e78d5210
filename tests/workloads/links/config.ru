# Asks twice on a connection of the thread's own. Where another thread is to ask, the handler waits
# for it.
require "net/http"

BACKEND = Integer(ENV.fetch("BACKEND"))

def ask(target)
  kept = Thread.current.thread_variable_get(:backend)
  unless kept
    kept = Net::HTTP.new("127.0.0.1", BACKEND)
    kept.keep_alive_timeout = 60
    kept.start
    Thread.current.thread_variable_set(:backend, kept)
  end
  kept.get(target).body
end

run lambda { |env|
  id = env["PATH_INFO"].split("/")[1]
  delay = Integer(id[1..]) * 7 % 5
  ask("/#{id}/back?delay=#{delay}")
  ask("/#{id}/again")
  [200, { "Content-Type" => "text/plain" }, ["ok\n"]]
}
